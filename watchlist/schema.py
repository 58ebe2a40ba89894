"""The database schema, as migrations from each version to the next."""

FIRST = """
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    external_id TEXT, purpose TEXT, authority TEXT, expires TEXT,
    created REAL NOT NULL,
    removed REAL
);
CREATE UNIQUE INDEX identities_name ON identities (name) WHERE removed IS NULL;
CREATE TABLE enrolments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities (id),
    photo TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    chip BLOB NOT NULL,
    vector BLOB NOT NULL,
    recognizer TEXT NOT NULL,
    quality REAL NOT NULL,
    face_px REAL NOT NULL,
    created REAL NOT NULL,
    UNIQUE (identity, sha256)
);
CREATE TABLE tracks (
    source TEXT NOT NULL,
    track TEXT NOT NULL,
    version INTEGER NOT NULL,
    final INTEGER NOT NULL,
    start_s REAL NOT NULL,
    end_s REAL NOT NULL,
    face_px REAL NOT NULL,
    shots INTEGER NOT NULL,
    template BLOB,
    recognizer TEXT,
    quality REAL NOT NULL,
    best_pts_s REAL,
    best_box TEXT,
    crop TEXT,
    restored TEXT,
    path BLOB NOT NULL,
    outcome TEXT NOT NULL,
    identity INTEGER,
    name TEXT,
    nearest TEXT,
    score REAL,
    threshold REAL,
    fpir REAL NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (source, track)
);
CREATE INDEX tracks_time ON tracks (source, start_s);
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
"""

LIVE = """
ALTER TABLE tracks ADD COLUMN started_at REAL;
ALTER TABLE tracks ADD COLUMN ended_at REAL;
CREATE INDEX tracks_at ON tracks (started_at);
CREATE TABLE alerts (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    track TEXT NOT NULL,
    identity INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX alerts_last ON alerts (source, identity, at);
CREATE TABLE undelivered (
    sink TEXT NOT NULL,
    alert TEXT NOT NULL REFERENCES alerts (key) ON DELETE CASCADE,
    PRIMARY KEY (sink, alert)
);
"""


def _counted(table: str) -> str:
    """SQL triggers that increase the watchlist's change counter at every change of a table."""
    return "".join(
        f"CREATE TRIGGER {table}_{event} AFTER {event} ON {table} BEGIN UPDATE generation SET watchlist = watchlist + 1; END;\n"
        for event in ("insert", "update", "delete")
    )


# ``generation`` counts changes of the watchlist, so that search indexes know when to update.
KEPT = (
    """
ALTER TABLE identities ADD COLUMN set_aside REAL;
ALTER TABLE enrolments ADD COLUMN set_aside REAL;
CREATE TABLE generation (watchlist INTEGER NOT NULL, reembedded INTEGER NOT NULL);
INSERT INTO generation VALUES (1, 0);
CREATE TRIGGER enrolments_reembedded AFTER UPDATE OF vector ON enrolments
    BEGIN UPDATE generation SET reembedded = reembedded + 1; END;
"""
    + _counted("identities")
    + _counted("enrolments")
)

# Finished tracks that can be searched, with ids that are never reused. ``purged`` counts deleted and changed tracks: an index
# of them must then be rebuilt, because appending is not enough.
GONE = "DELETE FROM templates WHERE source = OLD.source AND track = OLD.track; UPDATE generation SET purged = purged + 1;"
COME = "INSERT OR IGNORE INTO templates (source, track) SELECT NEW.source, NEW.track WHERE NEW.template IS NOT NULL;"
SEARCHABLE = f"""
CREATE TABLE templates (id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, track TEXT NOT NULL, UNIQUE (source, track));
ALTER TABLE generation ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
INSERT INTO templates (source, track) SELECT source, track FROM tracks WHERE final = 1 AND template IS NOT NULL ORDER BY rowid;
CREATE TRIGGER tracks_come AFTER INSERT ON tracks WHEN NEW.final = 1 BEGIN {COME} END;
CREATE TRIGGER tracks_end AFTER UPDATE ON tracks WHEN OLD.final = 0 AND NEW.final = 1 BEGIN {COME} END;
CREATE TRIGGER tracks_change AFTER UPDATE ON tracks WHEN OLD.final = 1 AND NEW.template IS NOT OLD.template
    BEGIN {GONE} {COME} END;
CREATE TRIGGER tracks_go AFTER DELETE ON tracks WHEN OLD.final = 1 BEGIN {GONE} END;
"""

CALIBRATED = """
CREATE TABLE calibrations (recognizer TEXT PRIMARY KEY, made REAL NOT NULL, tracks INTEGER NOT NULL, impostors TEXT NOT NULL);
""" + _counted("calibrations")

FOR_MONTHS = """
CREATE INDEX alerts_of_track ON alerts (source, track);
CREATE INDEX undelivered_alert ON undelivered (alert);
CREATE INDEX tracks_open ON tracks (ended_at) WHERE final = 0;
"""

# ``copied_from`` is the source database of a copied list. Edits must be made there.
COPIED = """
ALTER TABLE generation ADD COLUMN copied_from TEXT;
CREATE INDEX tracks_matched ON tracks (identity, source) WHERE identity IS NOT NULL;
"""

# Two people may have the same name if their external ids differ.
NAMESAKES = """
DROP INDEX identities_name;
CREATE INDEX identities_name ON identities (name) WHERE removed IS NULL;
CREATE INDEX identities_external ON identities (external_id) WHERE removed IS NULL AND external_id IS NOT NULL;
"""

# Recordings. Their names stay the same on a resume, and recordings with a time of day are not mistaken for live cameras.
RECORDINGS = """
CREATE TABLE recordings (
    name TEXT PRIMARY KEY, address TEXT NOT NULL, stamp TEXT NOT NULL, started_at REAL, started_from TEXT NOT NULL DEFAULT ''
);
"""

# Indexes for pages, sums and purges of a million tracks: rows are slow to read, because they hold embeddings and chips.
# ``erasing`` is the Unix time since which deleted content waits to be removed from the file. ``remains`` holds salted sums of
# deleted content that a purge found in other files (watchlist/leftover_scan.py).
PAGED = """
DROP INDEX tracks_time;
CREATE INDEX tracks_page ON tracks (source, start_s, track, outcome, end_s, started_at, ended_at, name) WHERE final = 1;
CREATE INDEX tracks_margin ON tracks (outcome, score - threshold, started_at) WHERE final = 1;
CREATE INDEX tracks_recognizer ON tracks (recognizer) WHERE template IS NOT NULL;
CREATE INDEX enrolments_state ON enrolments (identity, set_aside, recognizer);
ALTER TABLE generation ADD COLUMN erasing REAL;
UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL)
    WHERE EXISTS (SELECT 1 FROM identities WHERE removed IS NOT NULL);
UPDATE identities SET name = '', external_id = NULL, purpose = NULL, authority = NULL, expires = NULL WHERE removed IS NOT NULL;
UPDATE audit SET detail = json_object('identity', json_extract(detail, '$.identity'))
    WHERE what = 'update' AND json_valid(detail);
CREATE TABLE remains (
    file TEXT NOT NULL, length INTEGER NOT NULL, salt INTEGER NOT NULL, sum BLOB NOT NULL, PRIMARY KEY (file, length, sum)
);
"""

# Audit rows are kept after a person is removed, so they hold ids and no names.
NAMELESS = """
UPDATE audit SET detail = json_object('identity', json_extract(detail, '$.identity'))
    WHERE what = 'enrol' AND json_valid(detail);
UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL)
    WHERE erasing IS NULL AND EXISTS (SELECT 1 FROM audit WHERE what = 'enrol');
"""

# Accounts of the console. The audit log becomes a hash chain (watchlist/audit.py). Entries of the list get a version, which
# detects conflicting edits.
ACCOUNTS = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, role TEXT NOT NULL, password TEXT NOT NULL, cameras TEXT,
    created REAL NOT NULL, removed REAL
);
CREATE UNIQUE INDEX users_name ON users (name) WHERE removed IS NULL;
CREATE TABLE sessions (
    token BLOB PRIMARY KEY, user INTEGER NOT NULL REFERENCES users (id), csrf TEXT NOT NULL,
    created REAL NOT NULL, seen REAL NOT NULL, expires REAL NOT NULL
);
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER NOT NULL REFERENCES users (id), label TEXT NOT NULL,
    token BLOB NOT NULL UNIQUE, created REAL NOT NULL, expires REAL
);
CREATE TABLE login_failures (subject TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL);
CREATE TABLE preferences (key TEXT PRIMARY KEY, value TEXT NOT NULL);
ALTER TABLE audit ADD COLUMN user TEXT;
ALTER TABLE audit ADD COLUMN hash BLOB;
ALTER TABLE identities ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE TRIGGER identities_version AFTER UPDATE OF name, external_id, purpose, authority, expires, set_aside, removed ON identities
    BEGIN UPDATE identities SET version = OLD.version + 1 WHERE id = NEW.id; END;
"""


# The feed, newest first; reviews of tracks; cases; ignored unknown people. While a match is rejected, rewriting the track stores
# no match. Rows that belong to a track are deleted with it.
REJECT = (
    "UPDATE tracks SET outcome = 'no_match', identity = NULL, name = NULL, reasons = json_insert(CASE WHEN json_valid(reasons) "
    "THEN reasons ELSE '[]' END, '$[#]', 'rejected in review') WHERE source = NEW.source AND track = NEW.track;"
)
REJECTED_NOW = (
    "NEW.outcome = 'match' AND EXISTS (SELECT 1 FROM review_states r WHERE r.source = NEW.source AND r.track = NEW.track "
    "AND r.state = 'rejected' AND r.identity IS NEW.identity)"
)
FORGET = " ".join(
    f"DELETE FROM {table} WHERE source = OLD.source AND track = OLD.track;"
    for table in ("reviews", "review_states", "case_tracks", "ignored")
)
REVIEWED = f"""
CREATE TABLE reviews (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, track TEXT NOT NULL, identity INTEGER, verdict TEXT NOT NULL,
    note TEXT NOT NULL, user TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX reviews_track ON reviews (source, track);
CREATE TABLE review_states (
    source TEXT NOT NULL, track TEXT NOT NULL, state TEXT NOT NULL, identity INTEGER, at REAL NOT NULL,
    PRIMARY KEY (source, track)
) WITHOUT ROWID;
CREATE INDEX review_states_state ON review_states (state, at);
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, note TEXT NOT NULL, created REAL NOT NULL, user TEXT NOT NULL,
    closed REAL
);
CREATE TABLE case_tracks (
    case_id INTEGER NOT NULL REFERENCES cases (id), source TEXT NOT NULL, track TEXT NOT NULL, note TEXT NOT NULL,
    user TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (case_id, source, track)
) WITHOUT ROWID;
CREATE INDEX case_tracks_track ON case_tracks (source, track);
CREATE TABLE refusals (
    identity INTEGER NOT NULL REFERENCES identities (id), photo TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (identity, photo)
) WITHOUT ROWID;
CREATE TRIGGER identities_gone AFTER UPDATE OF removed ON identities WHEN NEW.removed IS NOT NULL
    BEGIN DELETE FROM refusals WHERE identity = NEW.id; END;
CREATE TABLE ignored (
    source TEXT NOT NULL, track TEXT NOT NULL, user TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (source, track)
) WITHOUT ROWID;
CREATE INDEX tracks_feed ON tracks (COALESCE(started_at, start_s), outcome, source, face_px, final, started_at, track);
CREATE INDEX tracks_feed_outcome ON tracks (outcome, COALESCE(started_at, start_s), source, face_px, final, started_at, track);
CREATE TRIGGER tracks_rejected AFTER UPDATE OF outcome, identity ON tracks WHEN {REJECTED_NOW} BEGIN {REJECT} END;
CREATE TRIGGER tracks_rejected_new AFTER INSERT ON tracks WHEN {REJECTED_NOW} BEGIN {REJECT} END;
CREATE TRIGGER tracks_rematched AFTER UPDATE OF identity ON tracks WHEN NEW.outcome = 'match' AND NEW.identity IS NOT OLD.identity
    BEGIN DELETE FROM review_states WHERE source = NEW.source AND track = NEW.track AND identity IS NOT NEW.identity; END;
CREATE TRIGGER tracks_forgotten AFTER DELETE ON tracks BEGIN {FORGET} END;
"""

# The newest changes of tracks, for open pages of the console: finished tracks, ongoing matches, changed decisions and reviews.
# ``seq`` is never reused. The name of a purged track is removed here too.
CHANGES_KEPT = 5000
_NOTE = (
    "INSERT INTO changes (source, track) VALUES (NEW.source, NEW.track); "
    f"DELETE FROM changes WHERE seq <= (SELECT MAX(seq) FROM changes) - {CHANGES_KEPT};"
)
FOLLOWED = f"""
CREATE TABLE changes (seq INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, track TEXT NOT NULL);
CREATE INDEX changes_track ON changes (source, track);
CREATE TRIGGER changes_new AFTER INSERT ON tracks WHEN NEW.final = 1 OR NEW.outcome = 'match' BEGIN {_NOTE} END;
CREATE TRIGGER changes_decided AFTER UPDATE OF final, outcome, identity ON tracks
    WHEN NEW.final IS NOT OLD.final OR NEW.outcome IS NOT OLD.outcome OR NEW.identity IS NOT OLD.identity BEGIN {_NOTE} END;
CREATE TRIGGER changes_reviewed AFTER INSERT ON reviews BEGIN {_NOTE} END;
CREATE TRIGGER changes_forgotten AFTER DELETE ON tracks
    BEGIN DELETE FROM changes WHERE source = OLD.source AND track = OLD.track; END;
"""

# ``decided`` is a hash of the list, FPIR and thresholds with which finished tracks were decided.
DECIDED = "ALTER TABLE generation ADD COLUMN decided TEXT;"

# The n-th migration (from 1) results in ``user_version`` n.
MIGRATIONS = (
    *(FIRST, LIVE, KEPT, SEARCHABLE, CALIBRATED, FOR_MONTHS, COPIED, NAMESAKES, RECORDINGS, PAGED, NAMELESS, ACCOUNTS),
    *(REVIEWED, FOLLOWED, DECIDED),
)
VERSION = len(MIGRATIONS)
