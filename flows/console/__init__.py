"""The web console: pages that show models, releases, data, runs and disk, and buttons that ask for a release.

Pages are made on the server and read alone; each has its JSON at the same address with `.json`. What takes long is read
by a process of its own (`reader`), and a page shows what is known by then.
"""
