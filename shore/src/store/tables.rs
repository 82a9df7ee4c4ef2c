//! The tables of a station's database.

/// Times are milliseconds since 1970 UTC; ids are text, so that `sqlite3` shows them as the pages
/// do. It has the highest revision of each sighting, `earlier_revisions` of [`OTHER_TABLES`] the others.
pub(super) const SIGHTINGS: &str = "
CREATE TABLE sightings (
    id TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    camera TEXT NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('known', 'new', 'review', 'unidentified')),
    whale TEXT CHECK ((whale IS NOT NULL) = (verdict = 'known')),
    reason TEXT CHECK ((reason IS NOT NULL) = (verdict = 'unidentified')),
    probability REAL,
    embedding_scale REAL NOT NULL,
    embedding BLOB NOT NULL,
    picture_sha256 BLOB NOT NULL,
    picture_bytes INTEGER NOT NULL,
    picture_width INTEGER NOT NULL,
    picture_height INTEGER NOT NULL,
    x0 INTEGER NOT NULL,
    y0 INTEGER NOT NULL,
    x1 INTEGER NOT NULL,
    y1 INTEGER NOT NULL,
    bundle TEXT NOT NULL,
    engine TEXT NOT NULL,
    latitude REAL,
    longitude REAL,
    fix_quality TEXT,
    fix_age_ms INTEGER,
    satellites INTEGER,
    hdop REAL,
    speed_knots REAL,
    course REAL,
    heading REAL,
    time_source TEXT,
    time_uncertainty_ms INTEGER,
    encounter TEXT,
    frame_width INTEGER,
    frame_height INTEGER,
    boxes TEXT,
    crops TEXT,
    earlier_crops INTEGER,
    detector_confidence REAL,
    config_id TEXT,
    epoch TEXT,
    revision INTEGER NOT NULL,
    regions TEXT,
    bearing_from_bow REAL,
    bearing REAL,
    range_metres REAL,
    received INTEGER NOT NULL
) STRICT;
CREATE INDEX sightings_by_time ON sightings (started DESC, id DESC);
CREATE INDEX sightings_by_boat ON sightings (boat, sequence);
CREATE INDEX sightings_by_encounter ON sightings (encounter);
";

/// The tables of what belongs to a sighting, of boats and of rejected messages.
pub(super) const OTHER_TABLES: &str = "
CREATE TABLE candidates (
    sighting TEXT NOT NULL REFERENCES sightings (id),
    rank INTEGER NOT NULL,
    whale TEXT NOT NULL,
    score REAL NOT NULL,
    photo TEXT NOT NULL,
    PRIMARY KEY (sighting, rank)
) STRICT, WITHOUT ROWID;
CREATE TABLE earlier_revisions (
    sighting TEXT NOT NULL,
    revision INTEGER NOT NULL,
    message BLOB NOT NULL,
    received INTEGER NOT NULL,
    PRIMARY KEY (sighting, revision)
) STRICT, WITHOUT ROWID;
CREATE TABLE pictures (
    sighting TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    readable INTEGER NOT NULL,
    received INTEGER NOT NULL
) STRICT;
CREATE TABLE boats (
    boat TEXT PRIMARY KEY,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;
CREATE TABLE rejected_messages (
    number INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    topic TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    head BLOB NOT NULL,
    digest BLOB NOT NULL,
    count INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (digest, topic, reason)
) STRICT;
CREATE INDEX rejected_by_time ON rejected_messages (last_seen, number);
CREATE TABLE rejected_totals (
    reason TEXT PRIMARY KEY,
    total INTEGER NOT NULL
) STRICT;
";

/// The bundles that were offered to boats, one row per offer.
pub(super) const BUNDLE_TRANSFERS: &str = "
CREATE TABLE bundle_transfers (
    offer TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    version INTEGER,
    name TEXT NOT NULL,
    offered_at INTEGER NOT NULL,
    withdrawn_at INTEGER,
    progress TEXT NOT NULL CHECK (progress IN
        ('offered', 'receiving', 'testing', 'on_trial', 'active', 'rejected', 'rolled_back')),
    since INTEGER NOT NULL,
    reported_at INTEGER,
    boat_time INTEGER,
    received INTEGER,
    total INTEGER,
    reason TEXT
) STRICT;
CREATE INDEX transfers_by_boat ON bundle_transfers (boat, offered_at);
";

/// Sightings whose number or time cannot be right, as they were received.
pub(super) const QUARANTINE: &str = "
CREATE TABLE quarantine (
    sighting TEXT NOT NULL,
    revision INTEGER NOT NULL,
    boat TEXT NOT NULL,
    reason TEXT NOT NULL,
    message BLOB NOT NULL,
    received INTEGER NOT NULL,
    PRIMARY KEY (sighting, revision)
) STRICT;
";

/// The briefs of sightings that are not stored, or not in this revision.
pub(super) const BRIEFS: &str = "
CREATE TABLE briefs (
    sighting TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    epoch TEXT,
    revision INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('known', 'new', 'review', 'unidentified')),
    whale TEXT CHECK ((whale IS NOT NULL) = (verdict = 'known')),
    probability REAL,
    latitude REAL,
    longitude REAL,
    received INTEGER NOT NULL
) STRICT;
CREATE INDEX briefs_by_boat ON briefs (boat, sequence);
";

/// The files that were requested of boats, and when the last command to each boat was made.
pub(super) const FILE_REQUESTS: &str = "
CREATE TABLE file_requests (
    request TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sighting TEXT NOT NULL,
    file TEXT NOT NULL CHECK (file IN ('clip', 'crops')),
    max_bytes INTEGER NOT NULL,
    over_any_link INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    progress TEXT NOT NULL CHECK (progress IN
        ('open', 'complete', 'unavailable', 'failed', 'cancelled', 'expired')),
    sha256 BLOB,
    total INTEGER,
    received INTEGER NOT NULL,
    reason TEXT,
    ended_at INTEGER
) STRICT;
CREATE INDEX file_requests_open ON file_requests (boat) WHERE progress = 'open';
CREATE INDEX file_requests_by_sighting ON file_requests (sighting);
CREATE TABLE commands (
    boat TEXT PRIMARY KEY,
    issued INTEGER NOT NULL
) STRICT;
";

/// The pictures of which only the first bytes have arrived.
pub(super) const PICTURE_PARTS: &str = "
CREATE TABLE picture_parts (
    sighting TEXT PRIMARY KEY,
    boat TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    total INTEGER NOT NULL,
    received INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX picture_parts_by_boat ON picture_parts (boat, total);
CREATE INDEX picture_parts_by_time ON picture_parts (updated);
";

/// The last report of each boat; `link` and `settings` are JSON.
pub(super) const STATUS_REPORTS: &str = "
CREATE TABLE status_reports (
    boat TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    connection INTEGER NOT NULL,
    received INTEGER NOT NULL,
    offline_since INTEGER,
    at INTEGER NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('ok', 'warning', 'critical')),
    problems TEXT NOT NULL,
    version TEXT NOT NULL,
    bundle TEXT NOT NULL,
    latitude REAL,
    longitude REAL,
    cameras INTEGER NOT NULL,
    cameras_searched INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    oldest_pending_seconds INTEGER,
    link TEXT,
    settings TEXT
) STRICT;
";
