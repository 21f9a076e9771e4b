"""Asks optuna-dashboard, called directly, for the list of studies and for the first one."""
import json
import sys
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard

application = optuna_dashboard.wsgi(optuna.storages.RDBStorage("sqlite:///" + sys.argv[1]))


def get(path):
    environment = {}
    setup_testing_defaults(environment)
    environment["PATH_INFO"] = path
    said = []
    body = b"".join(application(environment, lambda status, headers, problem=None: said.append(status)))
    assert said == ["200 OK"], (path, said, body)
    return json.loads(body)


print(json.dumps({"list": get("/api/studies"), "study": get("/api/studies/1")}))
