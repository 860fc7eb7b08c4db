package main

import (
	"errors"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"
)

// serveEtcd runs a member that is a cluster of its own, until the process is killed: "etcd DIRECTORY CLIENT-URL
// PEER-URL". What it stores dies with the test, so it does not wait for the disk.
func serveEtcd(args []string) error {
	if len(args) != 3 {
		return errors.New("want DIRECTORY CLIENT-URL PEER-URL")
	}
	client, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	peer, err := url.Parse(args[2])
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir, config.UnsafeNoFsync, config.LogLevel = args[0], true, "warn"
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	member, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	return <-member.Err()
}
