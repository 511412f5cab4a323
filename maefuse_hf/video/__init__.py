"""Two videos to a fused one: frames paired in time, fused one by one, held steady, written as they come.

Files are read and written by PyAV, the extra `maefuse-hf[video]`; folders of frames need nothing more.
"""

from .brightness import BrightnessSmoother
from .frame_fusion import FrameFuser, FusedFrame
from .frames import Frame, FramePair
from .infrared_range import RangeSmoother
from .pairing import NearestPairs

__all__ = ["BrightnessSmoother", "Frame", "FrameFuser", "FramePair", "FusedFrame", "NearestPairs", "RangeSmoother"]
