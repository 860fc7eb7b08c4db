-- Bodies down: GET /p1/bytes/BYTES.
--   BYTES=16384 wrk -t1 -c16 -d10s --latency -s loadtest/wrk/download.lua http://ADDRESS
local bytes = os.getenv("BYTES") or "16384"
wrk.headers["Host"] = os.getenv("HOST") or "h1.shop.test"
wrk.path = (os.getenv("URI") or "/p1/bytes/") .. bytes
