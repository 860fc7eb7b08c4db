// Where and what: shared by all scripts, set in the environment.
//   ADDRESS  URL of the gateway                  (http://127.0.0.1:8080)
//   HOST     Host field; # is a number           (h#.shop.test); empty: that of ADDRESS
//   HOSTS    how many numbers                    (1000)
//   URI      path                                (/p1/item)
import http from "k6/http";
import { check } from "k6";

const address = __ENV.ADDRESS || "http://127.0.0.1:8080";
const host = __ENV.HOST === undefined ? "h#.shop.test" : __ENV.HOST;
const hosts = Number(__ENV.HOSTS || 1000);
const uri = __ENV.URI || "/p1/item";

// One request to the next host in turn.
export function visit() {
  const number = (__VU * 7919 + __ITER) % hosts;
  const headers = host ? { Host: host.replace("#", String(number)) } : {};
  const answer = http.get(address + uri, { headers, timeout: "10s", tags: { name: uri } });
  check(answer, { "below 400": (got) => got.status > 0 && got.status < 400 });
}

// Thresholds end a run with code 99. P99 and FAILED override them: milliseconds, share.
export function thresholds(p99, failed) {
  return {
    http_req_duration: [`p(99)<${__ENV.P99 || p99}`],
    http_req_failed: [`rate<=${__ENV.FAILED || failed}`],
    checks: [`rate>=${1 - Number(__ENV.FAILED || failed)}`],
  };
}

// What every script sets. Certificates of a test are rarely known.
export const common = { insecureSkipTLSVerify: true, noConnectionReuse: false, discardResponseBodies: true };
