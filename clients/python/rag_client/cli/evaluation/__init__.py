"""`ragctl eval`: how good hits, answers and the index are, on labels from files, with a page to look at."""
