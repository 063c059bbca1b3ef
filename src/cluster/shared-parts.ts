import { Same } from '../job/same.ts';
import type { Carried, SeenObject } from '../plan/observation.ts';
import type { Rollout } from '../plan/rollout.ts';

/**
 * Every answer of the API server is a new text, so each object would keep its own copy of its cell's name, its store's
 * id and what nearly all Deployments have alike. Here they come to share them.
 */
export class SharedParts {
  readonly #carried = new Same<Carried>();
  readonly #rollouts = new Same<Rollout>();
  #store: string | null = null;

  /** @param siblings the other objects of the job */
  share(object: SeenObject, siblings: readonly SeenObject[]): SeenObject {
    const { carried, rollout } = object;
    if (object.store !== this.#store) this.#store = object.store;
    return {
      ...object,
      namespace: shared(object.namespace, siblings),
      name: shared(object.name, siblings),
      store: this.#store,
      jobId: siblings[0]?.jobId ?? object.jobId,
      carried: carried && this.#carried.of(carried),
      rollout: rollout && this.#rollouts.of(rollout),
    };
  }
}

/** The text as one of the siblings has it. */
export function shared(text: string, siblings: readonly Pick<SeenObject, 'namespace' | 'name'>[]): string {
  for (const { namespace, name } of siblings) {
    if (namespace === text) return namespace;
    if (name === text) return name;
  }
  return text;
}
