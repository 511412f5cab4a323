"""What somebody without the package does with a model on the Hub.

tests/test_hub.py runs it with `python -I -S`, so that neither this repository nor an editable install of it is on the
path, and names the folders of the libraries.
"""

import importlib.util
import json
import re
import socket
import sys
from pathlib import Path

sys.path += sys.argv[1:]
assert importlib.util.find_spec("maefuse_hf") is None

import torch  # noqa: E402
from huggingface_hub import hf_hub_download  # noqa: E402
from transformers import AutoImageProcessor, AutoModel, pipeline  # noqa: E402

TRUSTED = {"trust_remote_code": True}


def error_of(call):
    """Kind and text of the error that a call raises."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def no_network(*arguments):
    raise AssertionError("The network was asked.")


def main():
    results = {
        "no trust: model": error_of(lambda: AutoModel.from_pretrained("org/fuse")),
        "no trust: processor": error_of(lambda: AutoImageProcessor.from_pretrained("org/fuse")),
        "no trust: pipeline": error_of(lambda: pipeline("image-fusion", model="org/fuse")),
        "private": error_of(lambda: AutoModel.from_pretrained("org/secret", **TRUSTED)),
    }
    # the first lines of Python in the card, word for word
    card = Path(hf_hub_download("org/fuse", "README.md")).read_text()
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    said_by_card = {}
    exec(code, said_by_card)
    said_by_card["image"].save("stranger.png")
    without_task = pipeline(model="org/fuse", **TRUSTED)
    without_task("thermal.png", "photo.png").save("stranger_no_task.png")
    results["lines"] = len(code.splitlines())

    processor = AutoImageProcessor.from_pretrained("org/fuse", revision="v1", **TRUSTED)
    model = AutoModel.from_pretrained("org/fuse", revision="v1", **TRUSTED)
    inputs = processor(infrared="thermal.png", visible="photo.png", return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    processor.post_process_image_fusion(outputs, inputs)[0].save("stranger_v1.png")
    model.save_pretrained("saved_by_stranger")

    socket.socket.connect = socket.create_connection = no_network
    cached = pipeline("image-fusion", model="org/fuse", local_files_only=True, **TRUSTED)
    pair = {"infrared": "thermal.png", "visible": "photo.png"}
    cached([pair, pair], batch_size=2)[1].save("stranger_cached.png")

    results["module"] = type(cached).__module__
    results["package loaded"] = "maefuse_hf" in sys.modules
    Path("stranger.json").write_text(json.dumps(results))


main()
