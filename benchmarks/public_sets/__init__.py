"""Public datasets, written as people have them: tables with a header, files by split, folders by class."""
