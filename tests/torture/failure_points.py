"""The failure points: a name before and after every effect of the two protocols.

An effect is named ``ACT.CALL-OBJECT`` by what is done to what, and in the course of which act
(docs/explanation/deletion-protocol.md): ``purge.unlink-segment``, ``publish.fsync-rendition``. A commit is named by its
rows: ``append.PurgeIssued``, ``agenda.replace``. The points are ``EFFECT.before`` and ``EFFECT.after``; before a commit
means that all is written, and COMMIT is what comes next.

The product has no hooks: `tests.torture.instrument` goes around it. An effect that has no name here ends the process
that had it; so this table is complete, or a test fails.
"""

EFFECTS = {
    "adopt.mkdir-root": "the media root's directory is made",
    "adopt.fsync-parent": "the directory above it is flushed",
    "adopt.unlink-temporary": "the temporary file of one who died goes",
    "adopt.create-temporary": "the marker's temporary file is made, empty",
    "adopt.write-temporary": "the marker's line is written to it",
    "adopt.fsync-temporary": "it is flushed",
    "adopt.rename-marker": "it becomes the marker",
    "adopt.fsync-root": "the root is flushed",
    "prepare.mkdir-channel": "the channel's directory is made",
    "prepare.mkdir-rendition": "a rendition's directory is made",
    "append.SessionOpened": "the session's first event is committed",
    "probe.unlink-probe": "generating: the probe goes, which tells whether the disk takes a block",
    "probe.create-probe": "its file is made, empty",
    "probe.write-probe": "the block is written to it",
    "probe.fsync-probe": "it is flushed",
    "append.BatchStarted": "generating, step 1: the start is committed",
    "encode.unlink-segment": "step 2: what an earlier attempt left goes",
    "encode.create-segment": "step 2: a segment's file is there, empty",
    "encode.write-segment": "step 2: the segment is written",
    "append.BatchFailed": "the failure is committed",
    "complete.fsync-segment": "step 3: a segment is flushed",
    "complete.fsync-rendition": "step 3: a rendition's directory is flushed",
    "complete.fsync-channel": "step 3: the channel's directory is flushed",
    "complete.fsync-root": "step 3: the root is flushed",
    "append.BatchCompleted": "step 4: the completion is committed",
    "journal.create-journal": "the root's journal is made, empty",
    "journal.truncate-journal": "a line that was torn goes from its end",
    "journal.write-journal": "a line is written to it: generating, step 5; purging, step 4; of SessionClosed",
    "journal.fsync-journal": "it is flushed",
    "journal.fsync-root": "the root is flushed, where the journal was made",
    "shorten.unlink-copy": "the copy of one who died goes",
    "shorten.create-copy": "a journal that became long: its copy is made, empty",
    "shorten.write-copy": "the newest lines are written to it",
    "shorten.fsync-copy": "it is flushed",
    "shorten.rename-journal": "it becomes the journal",
    "shorten.fsync-root": "the root is flushed",
    "publish.unlink-playlist": "step 5: the temporary file of one who died goes",
    "publish.create-playlist": "step 5: a media playlist's temporary file is made, empty",
    "publish.write-playlist": "step 5: the media playlist is written to it",
    "publish.fsync-playlist": "step 5: it is flushed",
    "publish.rename-playlist": "step 5: the media playlist is replaced",
    "publish.fsync-rendition": "step 5: its directory is flushed",
    "publish.unlink-master": "step 5: as for a media playlist",
    "publish.create-master": "step 5: the master playlist's temporary file is made, empty",
    "publish.write-master": "step 5: the master playlist is written to it",
    "publish.fsync-master": "step 5: it is flushed",
    "publish.rename-master": "step 5: the master playlist is replaced",
    "publish.fsync-channel": "step 5: the channel's directory is flushed",
    "append.PlaylistPublished": "step 5: what is listed is committed",
    "append.RootSuspected": "what is wrong with the root is committed",
    "append.RootTrusted": "that it proves itself again is committed",
    "append.PurgeRefused": "that most of a due batch is not there is committed",
    "append.PurgeIssued": "purging, step 1: the authorisation is committed",
    "unlist.create-playlist": "step 3: as in publish, for the playlists that must not list the batch any more",
    "unlist.write-playlist": "step 3",
    "unlist.fsync-playlist": "step 3",
    "unlist.rename-playlist": "step 3",
    "unlist.fsync-rendition": "step 3",
    "unlist.create-master": "step 3",
    "unlist.write-master": "step 3",
    "unlist.fsync-master": "step 3",
    "unlist.rename-master": "step 3",
    "unlist.fsync-channel": "step 3",
    "purge.unlink-segment": "step 5: a segment goes",
    "purge.fsync-rendition": "step 6: a directory that held segments is flushed",
    "purge.fsync-channel": "step 6: where a file was gone already, the channel's directory is flushed",
    "purge.fsync-root": "step 6: and the root",
    "append.PurgeFailed": "step 7: an outcome with files remaining is committed",
    "append.SegmentsPurged": "step 7: the outcome is committed",
    "append.SessionClosed": "the session's end is committed",
    "agenda.replace": "the retention projector's rows and checkpoint are committed",
    "read-models.apply": "the read models' rows and checkpoint are committed",
    "seal.save": "the seal is committed",
    "snapshot.save": "the snapshot of a session is committed",
}
"""Every effect, in the order in which a life meets them, and what it is."""

SIDES = ("before", "after")
POINTS = tuple(f"{effect}.{side}" for effect in EFFECTS for side in SIDES)
UNNAMED = 70
"""The exit status of a process that did something which has no name here."""
