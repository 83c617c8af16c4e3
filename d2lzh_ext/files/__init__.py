"""What reads and writes bytes that it cannot trust."""
from d2lzh_ext.files.atomic import remove_leftovers, written_aside

__all__ = ["remove_leftovers", "written_aside"]
