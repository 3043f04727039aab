#!/usr/bin/env python3
"""A complete adapter for rashomon in the standard library of Python: a register, list, set, counter,
queue and transaction store in one SQLite file. See process.md for the protocol.

    rashomon lint --adapter 'python3 workloads/targets/process-example.py'
    rashomon run workloads/register.toml --target workloads/targets/process.toml

The address of every node is the path of the file; all clients of all nodes share it, so what they see
is serializable. Standard output is for the protocol, standard error for whatever you want to say.
"""

import json
import sqlite3
import sys

FUNCTIONS = "read write cas rmw append add remove increment enqueue dequeue new-id txn".split()


class Failed(Exception):
    """The operation certainly had no effect."""


class Store:
    def __init__(self, path, run):
        self.run = run
        # Wait for the lock of another process less long than rashomon waits for us.
        self.file = sqlite3.connect(path, timeout=0.4, isolation_level=None)
        self.file.execute("create table if not exists kv (k text primary key, v text not null)")

    def get(self, key):
        name = json.dumps([self.run, key])
        row = self.file.execute("select v from kv where k = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key, value):
        name = json.dumps([self.run, key])
        self.file.execute("insert or replace into kv values (?, ?)", (name, json.dumps(value)))

    def change(self, f, key, value):
        """One change; returns what the operation reads."""
        now = self.get(key)
        if f == "read":
            return now
        elif f == "write":
            self.put(key, value)
        elif f == "rmw":
            self.put(key, value)
            return now
        elif f == "cas":
            old, new = value
            if now != old:
                raise Failed("the register holds another value")
            self.put(key, new)
        elif f in ("append", "enqueue"):
            self.put(key, (now or []) + [value])
        elif f == "add":
            self.put(key, [one for one in now or [] if one != value] + [value])
        elif f == "remove":
            self.put(key, [one for one in now or [] if one != value])
        elif f == "increment":
            self.put(key, (now or 0) + value)
        elif f == "new-id":
            self.put(key, (now or 0) + 1)
            return (now or 0) + 1
        elif f == "dequeue":
            if now:
                self.put(key, now[1:])
                return now[0]
            return None
        else:
            raise Failed(f"unknown function {f!r}")
        return value

    def invoke(self, request):
        f = request.get("f")
        if f not in FUNCTIONS:
            raise Failed(f"unknown function {f!r}")
        try:
            # Nothing is changed before the lock is ours.
            self.file.execute("begin immediate")
        except sqlite3.OperationalError as error:
            raise Failed(str(error))
        try:
            if f == "txn":
                value = [[f, k, self.change(f, k, v)] for f, k, v in request["value"]]
            else:
                value = self.change(f, request.get("key"), request.get("value"))
        except Exception as error:
            self.file.execute("rollback")
            raise Failed(str(error))
        # An error here leaves the outcome unknown.
        self.file.execute("commit")
        return value


def answer(request, state):
    kind = request.get("type")
    if kind == "init":
        state["store"] = Store(request["address"], request["run"])
        return {"type": "ok", "functions": FUNCTIONS}
    if kind == "primary":
        return {"type": "ok", "value": False}
    if kind != "invoke":
        return {"type": "fail", "error": f"unknown type {kind!r}"}
    try:
        return {"type": "ok", "value": state["store"].invoke(request)}
    except Failed as error:
        return {"type": "fail", "error": str(error)}
    except Exception as error:
        return {"type": "info", "error": repr(error)}


def main():
    state = {}
    for line in sys.stdin:
        try:
            request = json.loads(line)
        except ValueError as error:
            reply, request = {"type": "fail", "error": f"no JSON: {error}"}, {}
        else:
            reply = answer(request, state)
        reply["id"] = request.get("id")
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
