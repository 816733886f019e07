"""Parts of the loader under the names that programs use."""

from trine.utils.data._utils import collate as collate
