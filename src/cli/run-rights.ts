import type { Caller } from '../cluster/transport.ts';
import { ClusterError } from '../ports/cluster.ts';
import type { Log } from '../ports/log.ts';
import { missingRights, type Right, rightsText, rightsWithin } from './rights.ts';

/** Rights come by somebody's apply, a moment or a day after the operator. */
const ASK_AGAIN_MS = 60_000;

export interface RightsOptions {
  readonly caller: Caller;
  readonly contextName: string;
  /** Left out: in all namespaces. */
  readonly namespaces?: readonly string[] | undefined;
}

/** What the operator may not do and has to, as a sentence with the remedy; null when it may do all. @throws ClusterError */
export async function lackingRights({ caller, contextName, namespaces }: RightsOptions): Promise<string | null> {
  const missing: readonly Right[] = await missingRights(caller, namespaces ? rightsWithin(namespaces) : undefined);
  if (missing.length === 0) return null;
  const where = namespaces ? '' : ' in all namespaces';
  return `the user of context ${contextName} lacks rights that the operator needs${where}: ${rightsText(missing)}; have an administrator grant them (manifests/ has a role with all), or name another context with --context`;
}

/** In a pod nobody sees how a process ended: what is lacking is said in the log and in readiness until it is there. */
export class RightsWatch {
  readonly #options: RightsOptions;
  readonly #log: Log;
  #lacking: string | null;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RightsOptions, lacking: string | null, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#lacking = lacking;
    if (lacking === null) return;
    log.error({}, lacking);
    this.#timer = setInterval(() => void this.#look(), ASK_AGAIN_MS).unref();
  }

  get lacking(): string | null {
    return this.#lacking;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      this.#lacking = await lackingRights(this.#options);
    } catch (error) {
      // A cluster that does not answer is said elsewhere.
      if (!(error instanceof ClusterError)) throw error;
    }
    if (this.#lacking !== null) return;
    this.#log.info({}, 'the operator has all rights that it needs now');
    this.stop();
  }
}
