"""Makes a file of an earlier revision, or upgrades it with the command that is given."""
import shlex
import sqlite3
import sys

import optuna
import optuna.cli

if len(sys.argv) == 2:
    optuna.create_study(study_name="theirs", storage="sqlite:///" + sys.argv[1])
    with sqlite3.connect(sys.argv[1]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v3.0.0.d'")
        connection.execute("DROP INDEX ix_trials_study_id")
else:
    sys.argv = shlex.split(sys.argv[2])
    sys.exit(optuna.cli.main())
