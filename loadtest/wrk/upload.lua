-- Bodies up: POST of BYTES bytes.
--   BYTES=16384 wrk -t1 -c16 -d10s --latency -s loadtest/wrk/upload.lua http://ADDRESS
wrk.method = "POST"
wrk.body = string.rep("x", tonumber(os.getenv("BYTES") or 16384))
wrk.headers["Host"] = os.getenv("HOST") or "h1.shop.test"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.path = os.getenv("URI") or "/p1/item"
