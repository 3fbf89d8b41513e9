BEGIN TRANSACTION;
CREATE TABLE calibration (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            content TEXT NOT NULL
        );
INSERT INTO "calibration" VALUES(1,'{"threshold": 0.42, "target_fpir": 0.01, "low": 0.003, "high": 0.02, "points": [[0.1, 0.36], [0.01, 0.42], [0.001, 0.47]], "people": 60, "templates": 240, "comparisons": 56640, "borrowed": 0.7, "created_at": "2026-11-23T10:00:00+00:00", "space_id": "4d4a821677e8632b"}');
CREATE TABLE look_alikes (
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            other_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            PRIMARY KEY (person_id, other_id),
            CHECK (person_id < other_id)
        ) WITHOUT ROWID;
INSERT INTO "look_alikes" VALUES(1,4);
CREATE TABLE persons (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE
        );
INSERT INTO "persons" VALUES(1,'Ada');
INSERT INTO "persons" VALUES(4,'Ann');
INSERT INTO "persons" VALUES(5,'李');
CREATE TABLE pictures (
            sample_id INTEGER PRIMARY KEY REFERENCES samples ON DELETE CASCADE,
            jpeg BLOB NOT NULL
        );
INSERT INTO "pictures" VALUES(1,X'4A504547206F6620416461');
CREATE TABLE samples (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            person_id INTEGER NOT NULL REFERENCES persons ON DELETE CASCADE,
            source TEXT NOT NULL,
            frame INTEGER NOT NULL,
            time_s REAL,
            yaw REAL,
            pitch REAL,
            roll REAL,
            quality REAL,
            score REAL,
            size_px REAL
        , appearance TEXT NOT NULL DEFAULT '', partial INTEGER NOT NULL DEFAULT 0);
INSERT INTO "samples" VALUES(1,1,'a.mp4',3,0.1,10.0,-5.0,1.0,88.0,0.99,120.0,'',0);
INSERT INTO "samples" VALUES(2,1,'b.jpg',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'glasses',1);
INSERT INTO "samples" VALUES(4,4,'c.jpg',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'',0);
CREATE TABLE space (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            model TEXT NOT NULL,
            weights_sha256 TEXT NOT NULL,
            preprocessing TEXT NOT NULL,
            template TEXT NOT NULL,
            mirrored INTEGER NOT NULL,
            dimension INTEGER NOT NULL
        );
INSERT INTO "space" VALUES(1,'test-net','abababababababababababababababababababababababababababababababab','rgb-0-1/1','arcface-112',1,8);
CREATE TABLE state (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            revision INTEGER NOT NULL,
            rewritten INTEGER NOT NULL
        );
INSERT INTO "state" VALUES(1,6,1);
CREATE TABLE templates (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sample_id INTEGER NOT NULL REFERENCES samples ON DELETE CASCADE,
            embedding BLOB NOT NULL,
            model TEXT NOT NULL,
            created_at TEXT NOT NULL
        );
INSERT INTO "templates" VALUES(1,1,X'61B82B3E6021CC3E9331243E5AE221BF59EFE03E85CD5D3ED56785BEDA60903E','test-net','2026-11-30T00:11:44+00:00');
INSERT INTO "templates" VALUES(2,2,X'1874623D6D8A1CBEBD63F7BD56C736BFD9BB063F7550AB3E7CE6C2BDCBB8673E','test-net','2026-11-30T00:11:44+00:00');
INSERT INTO "templates" VALUES(4,4,X'BA5E043F65C125BFC4EFD83D364C13BE14DDEABD3CBB5FBD2A0303BFD2AE70BD','test-net','2026-11-30T00:11:44+00:00');
CREATE INDEX samples_of_person ON samples (person_id);
CREATE INDEX templates_of_sample ON templates (sample_id);
CREATE INDEX look_alikes_of_other ON look_alikes (other_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('persons',5);
INSERT INTO "sqlite_sequence" VALUES('samples',4);
INSERT INTO "sqlite_sequence" VALUES('templates',4);
COMMIT;PRAGMA application_id = 1718644591;
PRAGMA user_version = 4;
