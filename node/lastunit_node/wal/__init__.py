"""SQLite's -wal files, looked at before SQLite does: what damaged them must not pass for a torn end.

SQLite takes a -wal up to its first frame that fails a check and drops the rest without a word, for that is what a crash
leaves behind. A flipped bit looks the same to it: everything that was synced after it would be gone.
"""
