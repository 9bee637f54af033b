/** `funprm doctor`: what the app needs, checked one by one, each failure with its cure. */
import Table from "cli-table3";
import type { Command } from "commander";
import { FunprmError } from "../../domain/errors.ts";
import type { CommandContext } from "../context.ts";

export type Finding = { check: string; ok: boolean; detail: string; cure: string | null };

export type DoctorDependencies = {
  /** Each check gives what it found, or throws a FunprmError whose message says the cure. */
  checks: { name: string; run(): Promise<string> }[];
};

/** Exit 0 when everything is well, 1 when something is not. */
export function addDoctorCommand(program: Command, context: CommandContext, dependencies: DoctorDependencies): void {
  program
    .command("doctor")
    .description("check key, app id, permissions, secret, model, database, sandbox; each failure with its cure")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: boolean }) => {
      const findings: Finding[] = [];
      for (const check of dependencies.checks) {
        try {
          findings.push({ check: check.name, ok: true, detail: await check.run(), cure: null });
        } catch (error) {
          const message = (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
          findings.push({
            check: check.name,
            ok: false,
            detail: error instanceof FunprmError ? error.code : "failed",
            cure: message,
          });
        }
      }
      if (json) context.stdout(`${JSON.stringify({ ok: findings.every((one) => one.ok), findings })}\n`);
      else {
        const table = new Table({
          head: ["", "check", "found", "cure"],
          style: { head: [], border: [] },
          wordWrap: true,
          colWidths: [4, 18, 40, 60],
        });
        for (const one of findings) table.push([one.ok ? "ok" : "✗", one.check, one.detail, one.cure ?? ""]);
        context.stdout(`${table.toString()}\n`);
      }
      const failed = findings.filter((one) => !one.ok);
      if (failed.length > 0)
        throw new FunprmError(
          "INTERRUPTED",
          `${failed.length} of ${findings.length} checks failed: ${failed.map((one) => one.check).join(", ")}`,
        );
    });
}
