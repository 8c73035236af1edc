"""One module a page: a function that makes the page's document, which the template and the JSON show."""
