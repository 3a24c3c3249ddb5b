"""stub"""

from llm.core.parallel import gloo
from llm.core.train.progress import quiet_library


def apply_to_processes() -> None:
    quiet_library()
    gloo.install()
