"""What an operator deploys: files for compose, Kubernetes, KServe and systemd, written from the facts of a bundle."""
