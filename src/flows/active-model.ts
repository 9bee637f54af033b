/** The version that scores, asked at the start of every run: a switch of the registry's row needs no restart. */
import { FunprmError } from "../domain/errors.ts";
import type { Log, ModelRegistry, RewardModel } from "../ports.ts";

/**
 * `model` gives the active version, opened once; the embedded one while none was switched to, or where the active one's
 * bundle is gone or refused: that is logged at every run until someone switches. `dispose` closes all but the embedded one.
 */
export function createActiveModel(parts: {
  registry: ModelRegistry;
  embedded: RewardModel;
  open(folder: string): Promise<RewardModel>;
  log: Log;
}): { model(): Promise<RewardModel>; dispose(): Promise<void> } {
  const { registry, embedded, log } = parts;
  // A run that began with a version holds it: none is closed before the app is.
  const opened = new Map<string, RewardModel>();
  return {
    model: async () => {
      const active = await registry.active();
      if (active === null || active.folder === null) return embedded;
      const known = opened.get(active.sha256);
      if (known !== undefined) return known;
      try {
        const model = await parts.open(active.folder);
        if (model.info.sha256 !== active.sha256)
          throw new FunprmError(
            "MODEL_REFUSED",
            `model bundle ${active.folder}: holds another model than was promoted; \`funprm models rollback\``,
          );
        opened.set(active.sha256, model);
        return model;
      } catch (error) {
        if (!(error instanceof FunprmError) || error.kind !== "user") throw error;
        log.warn("the active model cannot be opened: the embedded one scores", {
          version: active.version,
          error: error.message,
        });
        return embedded;
      }
    },
    dispose: async () => {
      for (const model of opened.values()) await model.dispose();
    },
  };
}
