"""Text to tokens: tokenizers loaded or trained, engines that encode, and what was found."""
