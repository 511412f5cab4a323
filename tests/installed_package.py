"""Use a built wheel as its users do: installed, outside the repository, without a network.

    python tests/installed_package.py dist/maefuse_hf-….whl

The wheel is unpacked into a folder of its own; its dependencies are those of the running Python. In a process that
finds the package there, `maefuse demo` fuses the example, and the pipeline is saved with the code that travels.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

USE = """
import sys
from pathlib import Path
import maefuse_hf
from maefuse_hf import SHIPPED_CHECKPOINT, cli
from PIL import Image
from transformers import AutoModel, pipeline

package = Path(sys.argv[1]) / "maefuse_hf"
assert Path(maefuse_hf.__file__).parent == package, f"{maefuse_hf.__file__} was imported instead of the wheel"
kept = {path.name for path in SHIPPED_CHECKPOINT.iterdir()}
assert kept >= {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "card.yaml"}, kept

assert cli.main(["demo", "-o", "demo"]) == 0
infrared, visible, fused = (Image.open(f"demo/{name}.png").convert("RGB") for name in ("infrared", "visible", "fused"))
assert fused.size == visible.size and len(set(fused.convert("L").tobytes())) > 100

fuse = pipeline("image-fusion")
fuse.save_pretrained("saved")
sent = {path.name for path in Path("saved").glob("*.py")}
assert sent == {path.name for path in package.glob("*.py")} & sent and "pipeline_maefuse.py" in sent, sent
AutoModel.from_pretrained("saved")
print(f"The wheel fused a {visible.size[0]}x{visible.size[1]} pair, and {len(sent)} files of code travel with a model.")
"""


def main() -> None:
    (wheel,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        site, work = Path(temporary) / "site", Path(temporary) / "work"
        work.mkdir()
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), wheel]
        subprocess.run(install, check=True)
        environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "home")}
        subprocess.run([sys.executable, "-c", USE, str(site)], cwd=work, env=environment, check=True)


if __name__ == "__main__":
    main()
