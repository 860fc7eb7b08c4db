// Ten times the traffic within seconds, and back. RATE a second (200) is the calm.
import { common, thresholds, visit } from "./site.js";

const rate = Number(__ENV.RATE || 200);

export const options = Object.assign({}, common, {
  scenarios: {
    spike: {
      executor: "ramping-arrival-rate",
      startRate: rate,
      timeUnit: "1s",
      preAllocatedVUs: 200,
      maxVUs: 2000,
      stages: [
        { target: rate, duration: "10s" },
        { target: rate * 10, duration: "3s" },
        { target: rate * 10, duration: "20s" },
        { target: rate, duration: "3s" },
        { target: rate, duration: "14s" },
      ],
    },
  },
  thresholds: thresholds(1500, 0.01),
});

export default visit;
