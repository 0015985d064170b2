"""The only package that calls the operating system: files, directories, locks, clock, random ids."""

from vego.store.base import AppendFile, Lock, NewFile, ReadAt, Store
from vego.store.guard import disown_in_child
from vego.store.local import LocalStore

__all__ = ["AppendFile", "LocalStore", "Lock", "NewFile", "ReadAt", "Store", "disown_in_child"]
