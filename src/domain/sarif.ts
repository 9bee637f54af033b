/** A review as SARIF 2.1.0 (OASIS), the form that code scanning and editors read. */
import type { ReviewedFunction, ReviewReport } from "./review.ts";

const RULE = "low-reward";

/** `version` is funprm's own. Findings are `warning`; a function that was not scored is a notification, not a result. */
export function sarif(report: ReviewReport, version: string): unknown {
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "FunPRM",
            semanticVersion: version,
            rules: [
              {
                id: RULE,
                name: "LowReward",
                shortDescription: { text: "Function with a low reward" },
                fullDescription: {
                  text: "The reward model values this version of the function lower than the one it replaces. An estimate, not a proof.",
                },
                defaultConfiguration: { level: "warning" },
              },
            ],
          },
        },
        columnKind: "utf16CodeUnits",
        invocations: [
          {
            executionSuccessful: true,
            toolExecutionNotifications: report.coverage.notScored.map(({ path, name, reason }) => ({
              level: "note",
              message: { text: `${name} not scored: ${reason}` },
              locations: [{ physicalLocation: { artifactLocation: artifact(path) } }],
            })),
          },
        ],
        properties: { coverage: report.ledger, model: `${report.model.name} ${report.model.version}` },
        results: report.functions.filter((one) => one.finding).map(result),
      },
    ],
  };
}

function result(one: ReviewedFunction) {
  const estimate =
    one.estimate === null
      ? `rank ${one.rank}, uncalibrated`
      : `estimated chance that it is correct ${Math.round(100 * one.estimate.probability)} %`;
  return {
    ruleId: RULE,
    ruleIndex: 0,
    level: "warning",
    message: { text: `${one.name}: ${estimate}. ${one.evidence.map(({ text }) => text).join("; ")}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: artifact(one.path),
          region: { startLine: one.startLine, endLine: one.endLine },
        },
        logicalLocations: [{ fullyQualifiedName: one.name, kind: "function" }],
      },
    ],
    partialFingerprints: { "funprmBody/v1": one.bodyHash },
    properties: { reward: one.reward, attribution: one.attribution, baseAttribution: one.baseAttribution },
  };
}

/** A relative URI reference: every segment of the path percent-encoded. */
function artifact(path: string) {
  return { uri: path.split("/").map(encodeURIComponent).join("/"), uriBaseId: "%SRCROOT%" };
}
