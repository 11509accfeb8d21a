// What a real API server says of a new pod, for the test that compares our validation with it: a v1.Pod per line in, a
// JSON text per line out, empty where the pod is taken. All feature gates of alpha and beta features are open.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"

	v1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	_ "k8s.io/kubernetes/pkg/features"
)

func main() {
	if err := utilfeature.DefaultMutableFeatureGate.Set("AllAlpha=true,AllBeta=true"); err != nil {
		panic(err)
	}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := answers.Encode(refusal(line)); err != nil {
			panic(err)
		}
	}
}

func refusal(line []byte) string {
	given := v1.Pod{}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return err.Error()
	}
	if given.Namespace == "" {
		given.Namespace = v1.NamespaceDefault
	}
	corev1.SetObjectDefaults_Pod(&given)
	made := core.Pod{}
	if err := corev1.Convert_v1_Pod_To_core_Pod(&given, &made, nil); err != nil {
		return err.Error()
	}
	pod.DropDisabledPodFields(&made, nil)
	options := pod.GetValidationOptionsFromPodSpecAndMeta(&made.Spec, nil, &made.ObjectMeta, nil)
	options.ResourceIsPod = true
	if found := validation.ValidatePodCreate(&made, options); len(found) > 0 {
		return found[0].Error()
	}
	return ""
}
