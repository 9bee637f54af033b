/** The verdict of one candidate: the first test that did not pass decides. */
import type { JudgeVerdict } from "../../domain/judge.ts";
import type { Ran } from "./run-candidate.ts";
import type { Machine } from "./sandbox.ts";

export function toVerdict(
  machine: Machine,
  ran: Ran,
  language: "python" | "javascript",
  attested: JudgeVerdict["attested"],
): JudgeVerdict {
  const bad = ran.cases.find((one) => one.verdict !== "PASS");
  return {
    verdict: bad?.verdict ?? "PASS",
    cases: ran.cases.map(({ contended: _, ...one }) => one),
    cpuMs: Math.round(ran.cpuMs),
    wallMs: Math.round(ran.wallMs),
    peakMemoryMb: Math.round(ran.peakMb * 10) / 10,
    attested,
    tier: machine.report.tier,
    interpreter: language === "python" ? machine.interpreter : machine.nodeVersion,
    contended: bad?.verdict === "TIME_LIMIT" && bad.contended,
    detail: bad?.detail ?? null,
  };
}
