// Command operator keeps cells with controller-runtime: what Bulkhead is measured against. The contract is in
// ../README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

const tunedReconciles = 32

type options struct {
	tuned, leaderElect bool
	metricsAddress     string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "render" {
		exitOn(renderStdin())
		return
	}
	var o options
	flag.BoolVar(&o.tuned, "tuned", false, "for speed instead of controller-runtime's defaults")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "work only while the Lease is ours")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", "", "0 for none; controller-runtime's default where empty")
	flag.Parse()
	ctrl.SetLogger(klog.NewKlogr())
	exitOn(run(ctrl.SetupSignalHandler(), o))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "operator: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	managerOptions, err := o.manager()
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(restConfig, managerOptions)
	if err != nil {
		return err
	}
	if err := addController(mgr); err != nil {
		return err
	}
	if err := mgr.Add(syncedTeller{mgr.GetCache()}); err != nil {
		return err
	}
	if err := mgr.Add(manager.RunnableFunc(func(context.Context) error { return tell("leading") })); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func (o options) manager() (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, err
	}
	if err := addCells(scheme); err != nil {
		return ctrl.Options{}, err
	}
	m := ctrl.Options{
		Scheme:                        scheme,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "yardstick",
		LeaderElectionNamespace:       "bulkhead-system",
		LeaderElectionReleaseOnCancel: true,
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
	}
	if !o.tuned {
		return m, nil
	}
	// GetConfig has switched the client-side rate limit off already.
	m.Controller = config.Controller{MaxConcurrentReconciles: tunedReconciles, EnableWarmup: new(true)}
	if o.metricsAddress == "" {
		m.Metrics.BindAddress = "0"
	}
	ours := labels.SelectorFromSet(labels.Set{labelManager: managerName})
	m.Cache = cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		// What the cache hands out is only read; see merged.
		DefaultUnsafeDisableDeepCopy: new(true),
		ByObject:                     map[client.Object]cache.ByObject{},
	}
	for _, kind := range kinds() {
		m.Cache.ByObject[kind] = cache.ByObject{Label: ours}
	}
	return m, nil
}

func addController(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).
		For(&Cell{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Named("cell")
	for _, kind := range kinds() {
		b = b.Watches(kind, handler.EnqueueRequestsFromMapFunc(cellOf), builder.WithPredicates(needsWork))
	}
	return b.Complete(&reconciler{mgr.GetClient()})
}

// needsWork leaves out what no cell has to be looked at for: an object that was just made, and a status.
var needsWork = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		if e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() {
			return false
		}
		generation := e.ObjectNew.GetGeneration()
		return generation == 0 || generation != e.ObjectOld.GetGeneration() ||
			!contains(e.ObjectNew.GetLabels(), e.ObjectOld.GetLabels())
	},
}

// syncedTeller runs on whoever does not lead, too, whose caches are filled as well.
type syncedTeller struct{ cache cache.Cache }

func (t syncedTeller) NeedLeaderElection() bool { return false }

func (t syncedTeller) Start(ctx context.Context) error {
	for _, kind := range append(kinds(), &Cell{}) {
		if _, err := t.cache.GetInformer(ctx, kind); err != nil {
			return err
		}
	}
	return tell("synced")
}

func tell(event string) error {
	at := float64(time.Now().UnixMicro()) / 1000
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"event": event, "atUnixMs": at})
}

func renderStdin() error {
	var cell Cell
	if err := json.NewDecoder(os.Stdin).Decode(&cell); err != nil {
		return err
	}
	objects, err := render(&cell.Spec)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	for _, object := range objects {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			return err
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
		if err := json.NewEncoder(os.Stdout).Encode(object); err != nil {
			return err
		}
	}
	return nil
}
