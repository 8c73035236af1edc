"""Who may ask a server of a project: the secret, the browser's cookie, and the middleware that checks both."""
