import { hostname, userInfo } from 'node:os';
import type { Command } from 'commander';
import type { ClusterTarget, TargetOptions } from '../cluster/target.ts';
import type { Transport } from '../cluster/transport.ts';
import type { Epoch } from '../job/epoch.ts';
import type { Source } from '../job/goal.ts';
import type { Shard } from '../job/ids.ts';
import type { ClusterIdentity } from '../ports/cluster.ts';
import { type ChangeOrigin, StaleBaseError } from '../ports/store.ts';
import { openStore, type Store } from '../store/open.ts';
import { type DatabaseUrls, readyDatabase } from './database.ts';
import { CliError, CommandFailure } from './errors.ts';
import type { GlobalOptions } from './options.ts';
import { say } from './output.ts';
import { staleDiff, staleSentence } from './stale-text.ts';

/** Loaded when asked for: reading kubeconfigs brings a library that takes longer to load than all the rest. */
const clusterAccess = () => import('./cluster-access.ts');

/** What one command works with. Store and cluster are opened when they are first asked for, and closed with it. */
export class Context {
  readonly globals: GlobalOptions;
  /** Where the cluster was looked for last; null while nobody asked for it. */
  place: ClusterTarget | null = null;
  readonly #command: string;
  #urls: Promise<DatabaseUrls> | null = null;
  #store: Promise<Store> | null = null;
  #transport: Promise<Transport> | null = null;

  constructor(globals: GlobalOptions, command: string) {
    this.globals = globals;
    this.#command = command;
  }

  get target(): TargetOptions {
    return { kubeconfig: this.globals.kubeconfig ?? null, context: this.globals.context ?? null };
  }

  /** Where the database is, for its two roles, with their passwords. @throws StoreError */
  async database(): Promise<DatabaseUrls> {
    this.#urls ??= readyDatabase();
    return this.#urls;
  }

  /** @throws StoreError */
  async store(): Promise<Store> {
    const applicationName = `bulkhead ${this.#command}`;
    this.#store ??= this.database().then(({ url }) => openStore({ url, applicationName }));
    return this.#store;
  }

  /** What the fence of the kubeconfig's cluster says of this store. @throws TargetError | ClusterError */
  async fence(): Promise<ReadonlyMap<Shard, Epoch>> {
    const [access, transport, { storeId }] = await Promise.all([clusterAccess(), this.transport(), this.store()]);
    return access.readFence(transport, storeId);
  }

  /** Reads the kubeconfig. @throws TargetError */
  async readTarget(): Promise<ClusterTarget> {
    this.place = await (await clusterAccess()).readTarget(this.target);
    return this.place;
  }

  /** Opens no connection yet. @throws TargetError */
  async transport(): Promise<Transport> {
    this.#transport ??= this.readTarget().then(async (target) => (await clusterAccess()).openTransport(target));
    return this.#transport;
  }

  /** Who the cluster of the kubeconfig is. @throws TargetError | ClusterError */
  async identify(): Promise<ClusterIdentity> {
    return (await clusterAccess()).identify(await this.transport());
  }

  /**
   * The cluster of the kubeconfig, after making sure that this store's cells are in it.
   * @throws TargetError | ClusterError | CliError when it is another cluster
   */
  async cluster(): Promise<{ transport: Transport; identity: ClusterIdentity }> {
    const transport = await this.transport();
    const [identity, known] = await Promise.all([this.identify(), (await this.store()).currentCluster()]);
    if (known && known.id !== identity.id) {
      throw new CliError(
        `context ${identity.contextName} leads to cluster ${identity.id}, but the jobs live in cluster ${known.id} (context ${known.contextName}, ${known.server}); name that one with --context`,
      );
    }
    return { transport, identity };
  }

  async close(): Promise<void> {
    // What could not be opened needs no closing, and its error was shown where it was met.
    const opened = await Promise.allSettled([this.#store, this.#transport]);
    await Promise.all(opened.map(async (it) => (it.status === 'fulfilled' ? it.value?.close() : undefined)));
  }
}

/** What `work` of a command gets: its context, its own and the global options, and its positional arguments. */
export type Work<Options> = (context: Context, options: Options & GlobalOptions, args: string[]) => Promise<void>;

/** Shows both sides of a change that came too late; the error itself becomes one sentence. */
function explainStale(error: unknown): unknown {
  if (!(error instanceof StaleBaseError)) return error;
  say(staleDiff(error).trimEnd());
  return new CliError(staleSentence(error, Date.now()), { cause: error });
}

/**
 * An action for commander that opens a {@link Context}, closes it, and gives errors the command's exit code.
 * @param errorExitCode of any error
 */
export function action<Options>(work: Work<Options>, errorExitCode = 1): (...args: unknown[]) => Promise<void> {
  return async (...args) => {
    const command = args.at(-1) as Command;
    const options = command.optsWithGlobals<Options & GlobalOptions>();
    const context = new Context(options, command.name());
    try {
      await work(context, options, command.args);
    } catch (error) {
      throw new CommandFailure(explainStale(error), errorExitCode, context.place);
    } finally {
      await context.close();
    }
  };
}

/** Who changes a goal: $BULKHEAD_AUTHOR, or the user of this machine. */
export function author(): string {
  const given = process.env.BULKHEAD_AUTHOR?.trim();
  if (given) return given;
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    // A container's user often has no entry in /etc/passwd; its number still tells users apart.
    return `uid-${process.getuid?.() ?? 'unknown'}@${hostname()}`;
  }
}

/** Who makes a change, and why. */
export const origin = (
  options: { readonly reason?: string; readonly idempotencyKey?: string },
  source: Source = 'cli',
): ChangeOrigin => ({
  author: author(),
  source,
  reason: options.reason ?? null,
  ...(options.idempotencyKey !== undefined && { idempotencyKey: options.idempotencyKey }),
});
