"""Render docs/images/camera.jpg: what the shipped checkpoint makes of one camera's file.

python benchmarks/camera_example.py
"""

from pathlib import Path

from PIL import Image

from maefuse_hf.colour import to_uint8
from maefuse_hf.inference import fuse_files, load_checkpoint
from maefuse_hf.inference.coverage import covered_region, infrared_over
from maefuse_hf.visualization.captioned_row import side_by_side

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "tests" / "golden" / "cameras" / "FLIR.jpg"
UNCOVERED = (70, 70, 70)
QUALITY = 88


def main() -> None:
    """Photo, temperatures in their place, and the fused image in a row."""
    fused = fuse_files(*load_checkpoint(), SAMPLE)
    thermal, photo = fused.thermal, fused.thermal.visible
    region = covered_region(fused.infrared_box, photo.size)
    celsius = infrared_over(thermal.temperatures, fused.infrared_box, region)
    low, high = celsius.min(), celsius.max()
    infrared = Image.new("RGB", photo.size, UNCOVERED)
    infrared.paste(Image.fromarray(to_uint8((celsius - low) / (high - low))), region[:2])
    captions = {"embedded photo": photo, f"temperatures, {low:.0f} to {high:.0f} °C": infrared, "fused": fused.image}
    side_by_side(captions).save(ROOT / "docs" / "images" / "camera.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
