"""The service: an HTTP API over one analyzer, and the analyst's page."""
