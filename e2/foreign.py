"""Types of foreign models for the type checker."""

from typing import Any

# A model of open_clip: CLIP, CustomTextCLIP and CoCa share an interface, but no class that declares it; and what `nn.Module`
# says of its attributes (a tensor or a module) is less than we know.
OpenClip = Any
