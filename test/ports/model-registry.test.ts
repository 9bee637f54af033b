import { describe, expect, it } from "vitest";
import { openDatabase } from "../../src/adapters/db/open-database.ts";
import { findVersion, type ModelVersion } from "../../src/domain/model-version.ts";
import type { NewModelVersion } from "../../src/ports.ts";

async function open() {
  let time = Date.UTC(2026, 0, 1);
  const database = await openDatabase({
    path: ":memory:",
    now: () => {
      time += 1000;
      return new Date(time);
    },
    random: (bytes) => new Uint8Array(bytes),
  });
  return database.models;
}

const model = (letter: string, version: string): NewModelVersion => ({
  name: "funprm-mini",
  version,
  sha256: letter.repeat(64),
  renderVersion: "v1",
  attention: "causal",
  maxTokens: 1024,
  folder: null,
  base: null,
  snapshot: null,
});

describe("model registry", () => {
  it("switches with one row, rolls back with another, and forgets neither", async () => {
    const registry = await open();
    const [a, b] = [await registry.register(model("a", "1")), await registry.register(model("b", "2"))];
    expect(await registry.active()).toBe(null);
    await registry.activate(a.sha256, { by: "operator", reason: "first" });
    await registry.activate(b.sha256, { by: "gate", reason: "better" });
    expect((await registry.active())?.version).toBe("2");
    await registry.activate(a.sha256, { by: "operator", reason: "rollback" });
    expect((await registry.active())?.version).toBe("1");
    expect((await registry.switches()).map((one) => [one.sha256[0], one.reason])).toEqual([
      ["a", "rollback"],
      ["b", "better"],
      ["a", "first"],
    ]);
  });

  it("refuses a version that nobody registered and switches nothing", async () => {
    const registry = await open();
    const { sha256 } = await registry.register(model("a", "1"));
    await registry.activate(sha256, { by: "operator", reason: "first" });
    await expect(registry.activate("c".repeat(64), { by: "operator", reason: "typo" })).rejects.toThrow(
      "nothing was switched",
    );
    expect((await registry.active())?.sha256).toBe(sha256);
  });

  it("keeps what the gate said of a version when it is registered again", async () => {
    const registry = await open();
    const decision = { verdict: "refused", checks: [] } as unknown as ModelVersion["decision"];
    const first = await registry.register({ ...model("a", "1"), decision });
    const again = await registry.register({ ...model("a", "1"), folder: "elsewhere" });
    expect(again).toEqual({ ...first, folder: "elsewhere" });
    expect(await registry.versions()).toEqual([again]);
  });

  it("finds a version by the words people use, and says when a word means none or several", async () => {
    const registry = await open();
    await registry.register(model("a", "1"));
    await registry.register(model("b", "2"));
    await registry.register(model("c", "2"));
    const versions = await registry.versions();
    expect(findVersion(versions, "1").sha256[0]).toBe("a");
    expect(findVersion(versions, "cccccc").sha256[0]).toBe("c");
    expect(() => findVersion(versions, "2")).toThrow("names 2 models");
    expect(() => findVersion(versions, "3")).toThrow("funprm models list");
    expect(() => findVersion(versions, "bbb")).toThrow("no model bbb");
  });
});
