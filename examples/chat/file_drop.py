"""What any language can do without a client: write a session's file under a hidden name and rename it.

This uses nothing of ATLES. python file_drop.py SPOOL
"""

import json
import os
import sys
import uuid

spool = sys.argv[1]
session = {
    "session_id": "order-4711",
    "user_id": "mara",
    "app": "shop",
    "start_time": "2026-11-22T10:00:00+01:00",
    "messages": [
        {"role": "user", "content": "I prefer parcels to arrive on Saturdays.", "timestamp": "2026-11-22T10:00:00+01:00"},
        {"role": "assistant", "content": "Saturdays it is.", "timestamp": "2026-11-22T10:00:04+01:00"},
    ],
}

name = uuid.uuid4().hex + ".json"
hidden = os.path.join(spool, "." + name)
# 1. Written under a dot name, which the daemon leaves alone. On the spool's file system, so that 3 is one step.
with open(hidden, "x", encoding="utf-8") as file:
    json.dump(session, file, ensure_ascii=False)
    # 2. On stable storage, for those who want a power failure to lose nothing.
    file.flush()
    os.fsync(file.fileno())
# 3. There, whole, all at once.
os.rename(hidden, os.path.join(spool, name))
