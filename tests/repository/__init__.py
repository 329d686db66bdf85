"""Tests of the repository: packaging, demo, benchmarks and docker-compose.yaml."""
