import { styleText } from 'node:util';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { operatorImage, postgresImage, workerImage } from './images/index.ts';
import { nameInCluster } from './images/release.ts';
import { openVolumes } from './images/volumes.ts';
import { type ClusterKind, type ClusterStatus, DEFAULT_NAMES, down, status, up } from './index.ts';
import { kubectl } from './kubectl.ts';
import { note } from './progress.ts';

const KINDS = Object.keys(DEFAULT_NAMES) as ClusterKind[];

/** `release` is what manifests and examples call the image, whatever its sources are. */
const IMAGES: Record<string, () => Promise<{ ref: string; release?: string }>> = {
  operator: operatorImage,
  postgres: postgresImage,
  worker: async () => ({ ...(await workerImage()), release: 'bulkhead.local/worker:dev' }),
};

interface Options {
  name?: string;
  nodes?: number;
  fresh?: boolean;
}

const program = new Command('cluster')
  .usage('COMMAND [kind|control-plane]')
  .description(
    'Local Kubernetes clusters. `kind` has real nodes and pods and needs Docker (or Debian and root). ' +
      '`control-plane` has a real API server and fake nodes, as plain processes of any user, in seconds.',
  )
  .configureHelp({ showGlobalOptions: true })
  .option('--debug', 'show stack traces');

program
  .command('up')
  .description('make the cluster or repair it; prints how to use it')
  .addArgument(kindArgument().default('kind'))
  .addOption(nameOption())
  .option('--nodes <count>', 'how many nodes (default: kind 1, control-plane 3)', count)
  .option('--fresh', 'remove what is there first')
  .action(async (kind: ClusterKind, options: Options) => {
    const { fresh, ...others } = options;
    if (fresh) await down(kind, options.name);
    const cluster = kind === 'kind' ? await up('kind', others) : await up('control-plane', others);
    process.stdout.write(`${cluster.kubeconfigPath}\nexport KUBECONFIG='${cluster.kubeconfigPath}'\n`);
  });

program
  .command('down')
  .description('remove the cluster with all its data; without a kind, every cluster of this checkout')
  .addArgument(kindArgument())
  .addOption(nameOption())
  .action(async (kind: ClusterKind | undefined, { name }: Options) => {
    if (kind) return await down(kind, name);
    const found = (await status()).filter((cluster) => name === undefined || cluster.name === name);
    for (const cluster of found) await down(cluster.kind, cluster.name);
    // One whose making was killed is not a cluster yet; its Docker daemon may run all the same.
    if (name === undefined && !found.some((cluster) => cluster.kind === 'kind')) await down('kind');
  });

program
  .command('status')
  .description('list the clusters of this checkout')
  .action(async () => {
    const all = await status();
    process.stdout.write(table(all));
    if (all.length === 0) note('No cluster yet. Make one: npm run cluster -- up');
  });

program
  .command('kubeconfig')
  .description("print the path of the cluster's kubeconfig")
  .addArgument(kindArgument().default('kind'))
  .addOption(nameOption())
  .action(async (kind: ClusterKind, { name }: Options) => {
    process.stdout.write(`${await kubeconfigOf(kind, name)}\n`);
  });

program
  .command('kubectl')
  .description("run kubectl, the machine's or the one that comes along, on $KUBECONFIG or else the kind cluster")
  .argument('[arguments...]', 'what kubectl is asked')
  .helpOption(false)
  .allowUnknownOption()
  .action(async () => {
    // As they were typed: commander would take a -- out.
    const args = process.argv.slice(process.argv.indexOf('kubectl') + 1);
    process.exitCode = await kubectl(args, process.env.KUBECONFIG || (await kubeconfigOf('kind')));
  });

program
  .command('load')
  .description('build images of this checkout and load them into the kind cluster, which is made if need be')
  .addArgument(new Argument('<images...>', 'which images').choices(Object.keys(IMAGES)))
  .addOption(nameOption())
  .action(async (images: string[], { name }: Options) => {
    const cluster = await up('kind', name === undefined ? {} : { name });
    for (const image of images) {
      const { ref, release } = (await IMAGES[image]?.()) ?? { ref: '' };
      await cluster.loadImages([ref]);
      if (release !== undefined) await nameInCluster(cluster, ref, release);
      if (image === 'postgres') await openVolumes(cluster);
      process.stdout.write(`${release ?? ref}\n`);
    }
  });

async function kubeconfigOf(kind: ClusterKind, name = DEFAULT_NAMES[kind]): Promise<string> {
  const cluster = (await status()).find((it) => it.kind === kind && it.name === name);
  if (cluster) return cluster.kubeconfigPath;
  throw new Error(`There is no ${kind} cluster "${name}". Make it: npm run cluster -- up ${kind} --name ${name}`);
}

function kindArgument(): Argument {
  return new Argument('[kind]', 'which kind of cluster').choices(KINDS);
}

function nameOption(): Option {
  return new Option('--name <name>', 'which of several (default: one name a kind)');
}

function count(text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a number is expected');
}

function table(clusters: ClusterStatus[]): string {
  const rows = [
    ['KIND', 'NAME', 'STATE', 'CONTEXT', 'DETAIL'],
    ...clusters.map(({ kind, name, state, context, detail = '' }) => [kind, name, state, context, detail]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  return rows.map((row) => `${line(row).trimEnd()}\n`).join('');
}

try {
  await program.parseAsync();
} catch (error) {
  const shown = program.opts().debug ? (error instanceof Error ? error.stack : error) : errorMessage(error);
  process.stderr.write(`${styleText('red', 'error:', { stream: process.stderr })} ${shown}\n`);
  process.exitCode = 1;
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
