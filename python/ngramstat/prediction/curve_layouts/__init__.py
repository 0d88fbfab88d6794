"""Files that hold losses, as training tools and spreadsheets write them: one reader per layout."""
