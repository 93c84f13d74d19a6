"""What users make first."""

from intdash_frames.connect.client import Client, default_client
from intdash_frames.connect.server import LocalServer

__all__ = ["Client", "LocalServer", "default_client"]
