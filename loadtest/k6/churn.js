// Traffic while something else changes Ingresses and endpoints: a rollout, a deployment of many, a loop of kubectl.
// Nothing may fail. RATE a second (500) for DURATION (2m).
import { common, thresholds, visit } from "./site.js";

export const options = Object.assign({}, common, {
  scenarios: {
    churn: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 500),
      timeUnit: "1s",
      duration: __ENV.DURATION || "2m",
      preAllocatedVUs: 50,
      maxVUs: 1000,
    },
  },
  thresholds: thresholds(500, 0),
});

export default visit;
