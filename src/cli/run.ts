import { flushCompileCache } from 'node:module';
import type { Logger } from 'pino';
import { type ClusterTarget, ownNamespace } from '../cluster/target.ts';
import type { ClusterId } from '../job/ids.ts';
import { Operator } from '../operator.ts';
import type { ClusterIdentity } from '../ports/cluster.ts';
import { startTracing } from '../signals/tracing.ts';
import { canAsk, confirm } from './confirm.ts';
import { type Context, origin } from './context.ts';
import { CliError } from './errors.ts';
import { isLocalServer } from './local-server.ts';
import type { LogFormat, LogLevel } from './log-options.ts';
import type { GlobalOptions } from './options.ts';
import { operatorLog } from './run-log.ts';
import { lackingRights, type RightsOptions, RightsWatch } from './run-rights.ts';

export interface HealthAddress {
  readonly host: string;
  readonly port: number;
}

export interface RunOptions extends GlobalOptions {
  /** Left out for the usual one. */
  readonly healthAddress?: HealthAddress | 'none';
  /** Tenants' namespaces; left out for all. */
  readonly namespaces?: readonly string[];
  readonly acceptCluster?: ClusterId;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
  readonly yes?: true;
}

/**
 * Node writes what it has compiled when it exits, which an operator that is killed never does: its successor on this
 * machine starts a second sooner. Not while it starts itself.
 */
const KEEP_COMPILED_AFTER_MS = 15_000;
/** Below the 10 s that a stop may take. */
const STOP_LIMIT_MS = 9_000;
/** Where the kubelet's probes look; outside a cluster any free port of this machine alone. */
const IN_CLUSTER_HEALTH: HealthAddress = { host: '0.0.0.0', port: 8080 };
const HEALTH: HealthAddress = { host: '127.0.0.1', port: 0 };

/** A cluster that may be others' is touched only when somebody says so. @throws CliError */
async function requireConsent(target: ClusterTarget, { yes, namespaces }: RunOptions): Promise<void> {
  if (yes || ownNamespace() !== null || isLocalServer(target.server)) return;
  const where = `the API server ${target.server} (context ${target.contextName}) is not on this machine`;
  if (!canAsk()) throw new CliError(`${where}; say --yes if Bulkhead shall work there, or name another with --context`);
  const what = namespaces ? `write in the namespaces ${namespaces.join(', ')}` : 'make and delete namespaces';
  if (!(await confirm(`${where}. Let Bulkhead ${what} there?`))) {
    throw new CliError('nothing was touched; name another cluster with --context');
  }
}

interface Preflight {
  readonly identity: ClusterIdentity;
  readonly rights: RightsOptions;
  /** Only in a pod: elsewhere the operator does not start without all rights. */
  readonly lacking: string | null;
}

/** Everything that is worth to be said before the work begins; later, all of it is outlived. */
async function preflight(context: Context, options: RunOptions): Promise<Preflight> {
  await requireConsent(await context.readTarget(), options);
  await context.store();
  const caller = await context.transport();
  const rights = { caller, contextName: caller.target.contextName, namespaces: options.namespaces };
  const lacking = await lackingRights(rights);
  if (lacking !== null && ownNamespace() === null) throw new CliError(lacking);
  return { identity: await context.identify(), rights, lacking };
}

/** The first signal stops in good order, the next one at once. @returns takes the listeners away again */
function stopOnSignals(operator: Operator, log: Logger): () => void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopping = true;
    log.info({ signal }, 'stopping: finishing the actions in hand');
    // Every action can be cut off at any point; a successor goes on from what it finds.
    setTimeout(() => {
      log.warn({ afterMs: STOP_LIMIT_MS }, 'not everything ended in time; leaving it to the next operator');
      process.exit(0);
    }, STOP_LIMIT_MS).unref();
    operator.stop();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return () => {
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  };
}

const LISTEN_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another program',
  EACCES: 'may not be used by this user',
  EADDRNOTAVAIL: 'is no address of this machine',
  ENOTFOUND: 'is no address of this machine',
};

function explainListen(error: unknown, health: HealthAddress | null): unknown {
  if (!health || !(error instanceof Error) || !('syscall' in error) || !('code' in error)) return error;
  const why = LISTEN_ERRORS[String(error.code)];
  if (!why) return error;
  return new CliError(`the health address ${health.host}:${health.port} ${why}; name another with --health-address`, {
    cause: error,
  });
}

/** Runs the operator until a signal stops it. */
export async function run(context: Context, options: RunOptions): Promise<void> {
  const { identity, rights, lacking } = await preflight(context, options);
  const store = await context.store();
  const log = operatorLog({
    level: options.logLevel ?? (options.debug === true ? 'debug' : 'info'),
    format: options.logFormat,
  });
  // For whoever owns shard 0, which may be another replica.
  if (options.acceptCluster !== undefined) await store.acceptCluster(options.acceptCluster, origin({}));
  const wanted = options.healthAddress ?? (ownNamespace() === null ? HEALTH : IN_CLUSTER_HEALTH);
  const health = wanted === 'none' ? null : wanted;
  const tracing = await startTracing(process.env, log);
  const watch = new RightsWatch(rights, lacking, log);
  const operator = new Operator({
    store,
    target: context.target,
    ...(options.namespaces && { namespaces: options.namespaces }),
    health,
    log,
    tracing,
    lackingRights: () => watch.lacking,
  });
  log.info({ store: store.storeId, context: identity.contextName, server: identity.server }, 'the operator starts');
  const release = stopOnSignals(operator, log);
  setTimeout(flushCompileCache, KEEP_COMPILED_AFTER_MS).unref();
  try {
    await operator.run();
  } catch (error) {
    throw explainListen(error, health);
  } finally {
    watch.stop();
    await tracing?.stop();
    release();
    // Before anything else is said on stderr.
    log.flush();
  }
  log.info({}, 'stopped');
}
