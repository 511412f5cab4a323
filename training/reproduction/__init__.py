"""The paper's experiments, one a file: which runs they need, and what their logged numbers come to."""
