"""Results for people: terminal text, figures and HTML pages."""
