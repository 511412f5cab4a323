"""What somebody does who converts checkpoints from the Hub by name.

tests/test_cli_convert_hub.py runs it, in an environment that names its server, with a JSON list of command lines, and
reads exit status and what was said of each from results.json.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from maefuse_hf import cli


def main():
    results = []
    for arguments in json.loads(sys.argv[1]):
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = cli.main(["convert", *arguments])
        results.append([status, out.getvalue(), error.getvalue()])
    Path("results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
