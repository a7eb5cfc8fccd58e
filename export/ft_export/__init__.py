"""The workstation side of ftsdk: published weights in, a bundle out."""
