/** One sample of Prometheus's text format, by `name{label="value",…}` as it stands there. */
export type Samples = ReadonlyMap<string, number>;

/** Reads the samples of a scrape. Labels stay in the order in which they were written. */
export function samplesOf(text: string): Samples {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const cut = line.lastIndexOf(' ');
      return [line.slice(0, cut), Number(line.slice(cut + 1))] as const;
    }),
  );
}

/** The sum of all samples of that name whose labels contain these. */
export function sumOf(samples: Samples, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const isMeant = (key: string) => key.split('{')[0] === name && wanted.every((label) => key.includes(label));
  return [...samples].reduce((sum, [key, value]) => (isMeant(key) ? sum + value : sum), 0);
}
