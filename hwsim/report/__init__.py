"""What a run leaves behind: words, pictures, pages, and the screen."""
